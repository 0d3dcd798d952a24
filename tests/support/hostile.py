"""What a stranger may write in the place of any word of a file."""

HOSTILE = (
    "<script>document.title='owned'</script>",
    "</script><script>document.title='owned'</script>",
    '"><img src=x onerror="document.title=\'owned\'">',
    "' onmouseover='document.title=1",
    "javascript:document.title='owned'",
    "</style><style>*{display:none}",
    "</dd></details></main>]]>",
    "<!--<script>",
    "{{ 7 * 7 }}",
    "[link=http://a][red]",
    "line\u2028separator\u2029",
    "\x1b[2J\x1b]0;owned\x07\x9b",
    "\u202edesrever\u2066",
    "nul\0, new\nline\r\tand more",
    "\ud800 is half a letter",
    "x" * 10_000,
    "<b>" * 10_000,
)


def replaced(tree, text):
    """Copies of a tree of JSON: in each another part, or a name, is the text."""
    yield text
    if isinstance(tree, dict):
        for name, value in tree.items():
            others = {k: v for k, v in tree.items() if k != name}
            yield {**others, text: value}
            yield from ({**tree, name: part} for part in replaced(value, text))
    if isinstance(tree, list):
        for at, value in enumerate(tree):
            parts = replaced(value, text)
            yield from ([*tree[:at], part, *tree[at + 1 :]] for part in parts)


def file_name(text):
    """As much of a text as a file may be called."""
    return text.replace("/", "").replace("\0", "").encode("utf-8", "replace")[:200]
