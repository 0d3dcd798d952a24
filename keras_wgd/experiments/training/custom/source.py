"""What code does, as text: if two texts differ, the code does other things."""

import dis
import functools
import hashlib
import sys
import sysconfig
import types
from collections.abc import Iterator
from typing import Any

import numpy as np

_LIBRARIES = tuple({sysconfig.get_path(n) for n in ("stdlib", "purelib", "platlib")})
_PLAIN = (bool, int, float, complex, str, bytes, type(None), type(...))
_CONTAINERS = (list, dict, set, frozenset)
# A function that uses one of these may write into a container.
_WRITES = frozenset(
    {"add", "append", "appendleft", "clear", "discard", "extend", "insert", "pop"}
    | {"popitem", "remove", "setdefault", "update", "write"}
)
_LARGEST = 2**28  # bytes of an array that are read


def source(value: Any) -> str:
    """A text of what a function, class or object of the user does.

    It has the code wherever it is written, the values that it was made with, and the
    user's functions, classes and constants that it names. Lists and dictionaries are
    left out if any of the code may write into them: they are no constants then.
    """
    reader = _Reader(constant=True)
    text = reader.read(value)
    if reader.writes:
        text = _Reader(constant=False).read(value)
    return text


def own_code(value: Any) -> str:
    """The user's code in an object of Keras, such as a layer; empty if there is none.

    Its class, and the functions and objects that it holds.
    """
    held = [part for part in vars(value).values() if _is_users(part)]
    parts = [value, *held] if _is_users(value) else held
    return " ".join(map(source, parts))


def digest(text: str) -> str:
    """A short text that stands for a long one."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def code_text(code: types.CodeType) -> str:
    """The code of a function, without the place where it is written."""
    constants = map(_constant, code.co_consts)
    return " ".join([code.co_code.hex(), *code.co_names, *constants])


class _Reader:
    def __init__(self, constant: bool):
        self.writes = False
        self._constant = constant
        self._seen: dict[int, Any] = {}  # keeps them, so that no other has the number

    def read(self, value: Any) -> str:
        if isinstance(value, _PLAIN):
            return repr(value)
        if isinstance(value, types.ModuleType):
            return value.__name__
        if id(value) in self._seen:
            return "again"
        self._seen[id(value)] = value
        if isinstance(value, np.ndarray):
            return _array(value)
        if isinstance(value, tuple) or (
            self._constant and isinstance(value, _CONTAINERS)
        ):
            return self._container(value)
        if isinstance(value, functools.partial):
            parts = (value.func, value.args, tuple(value.keywords.items()))
            return f"partial {digest(' '.join(map(self.read, parts)))}"
        if isinstance(value, types.MethodType):
            return f"{self.read(value.__self__)} {self.read(value.__func__)}"
        if isinstance(value, types.FunctionType):
            name = value.__name__
            return name if _in_library(value) else f"{name} {self._function(value)}"
        kind = value if isinstance(value, type) else type(value)
        if _in_library(kind):
            return kind.__qualname__
        text = self._class(kind)
        if kind is not value:
            text += self._attributes(value)
        return f"{kind.__qualname__} {digest(text)}"

    def _container(self, value):
        if isinstance(value, dict):
            texts = [f"{self.read(k)}: {self.read(v)}" for k, v in value.items()]
        else:
            texts = list(map(self.read, value))
        if isinstance(value, set | frozenset):  # its order differs between processes
            texts.sort()
        return f"{type(value).__name__}({', '.join(texts)})"

    def _function(self, function):
        keywords = (function.__kwdefaults__ or {}).items()
        inside = [function.__defaults__, *(part for pair in keywords for part in pair)]
        for cell in function.__closure__ or ():
            try:
                inside.append(cell.cell_contents)
            except ValueError:  # not bound yet
                continue
        inside += self._named(function)
        text = [code_text(function.__code__), *map(self.read, inside)]
        return digest(" ".join(text))

    def _named(self, function) -> Iterator[Any]:
        """The values of the global names in a function."""
        for code in _codes(function.__code__):
            self.writes |= not _WRITES.isdisjoint(code.co_names)
            for step in dis.get_instructions(code):
                self.writes |= step.opname in ("STORE_SUBSCR", "STORE_GLOBAL")
                is_name = step.opname in ("LOAD_GLOBAL", "LOAD_NAME")
                if not is_name or step.argval not in function.__globals__:
                    continue
                value = function.__globals__[step.argval]
                yield value
                if isinstance(value, types.ModuleType) and not _in_library(value):
                    yield from (
                        vars(value)[name]
                        for name in code.co_names
                        if name in vars(value)
                    )

    def _class(self, kind):
        parts = []
        for base in kind.__mro__:
            if _in_library(base):
                parts.append(base.__qualname__)
                continue
            for name, value in vars(base).items():
                value = getattr(value, "__func__", value)  # of a class or static method
                if isinstance(value, property):
                    value = value.fget
                if isinstance(value, types.FunctionType) or _is_constant(name, value):
                    parts.append(f"{name} {self.read(value)}")
        return " ".join(parts)

    def _attributes(self, value):
        return " ".join(
            f"{name} {self.read(part)}"
            for name, part in getattr(value, "__dict__", {}).items()
            if _is_constant(name, part)
        )


def _is_constant(name, value):
    """Whether an attribute is the user's: Keras's own begin with an underscore."""
    kinds = (*_PLAIN, tuple, np.ndarray, types.FunctionType)
    return not name.startswith("_") and isinstance(value, kinds)


def _is_users(value):
    """Whether a value is a function of the user, or an object of the user's class."""
    if isinstance(value, types.FunctionType):
        return not _in_library(value)
    return not isinstance(value, type) and not _in_library(type(value))


def _in_library(value):
    name = str(getattr(value, "__module__", None) or getattr(value, "__name__", ""))
    if name.partition(".")[0] in ("keras", "keras_wgd", "builtins"):
        return True
    file = getattr(sys.modules.get(name), "__file__", None)
    return file is not None and file.startswith(_LIBRARIES)


def _codes(code: types.CodeType) -> Iterator[types.CodeType]:
    """A code, and those inside it."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _codes(constant)


def _constant(value: Any) -> str:
    if isinstance(value, types.CodeType):
        return code_text(value)
    if isinstance(value, frozenset):  # its order differs between processes
        return repr(sorted(map(repr, value)))
    return repr(value)


def _array(array: np.ndarray) -> str:
    text = f"array {array.shape} {array.dtype}"
    if array.nbytes > _LARGEST or array.dtype.hasobject:
        return text
    return f"{text} {hashlib.sha256(array.tobytes()).hexdigest()[:16]}"
