"""Pages as a browser reads them."""

import html.parser


class Reader(html.parser.HTMLParser):
    """The elements of a page, and the texts outside of scripts."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.texts, self.scripts = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_data(self, data):
        inside = self.tags and self.tags[-1][0] == "script" and self.cdata_elem
        (self.scripts if inside else self.texts).append(data)
