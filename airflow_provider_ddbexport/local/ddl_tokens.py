"""Reading Hive's statements word by word."""

from __future__ import annotations

import re

_TOKEN = re.compile(
    r"\s*(?:--[^\n]*\n\s*)*(?:'(?P<text>(?:[^'\\]|''|\\.)*)'|`(?P<tick>(?:[^`]|``)+)`|\"(?P<quoted>(?:[^\"]|\"\")+)\""
    r"|(?P<word>[A-Za-z0-9_$]+)|(?P<sign>[(),.:<>=;]))",
    re.DOTALL,
)


class TokensError(ValueError):
    """A statement that does not go on as it should."""


class Tokens:
    """A statement's words, names, texts and signs, taken from the left."""

    def __init__(self, text: str) -> None:
        self._tokens: list[tuple[str, str]] = []
        self._at = 0
        position = 0
        text = text.rstrip()
        while position < len(text):
            found = _TOKEN.match(text, position)
            if not found or not found.lastgroup:
                raise TokensError(f"line 1:{position} cannot recognize input near '{text[position : position + 10]}'")
            self._tokens.append((found.lastgroup, found[found.lastgroup]))
            position = found.end()

    @property
    def is_done(self) -> bool:
        """Whether all was taken."""
        return self._at >= len(self._tokens)

    def accept(self, words: str) -> bool:
        """Take *words* (one or several, or a sign) if they come next; return whether they did."""
        wanted = words.split()
        ahead = self._tokens[self._at : self._at + len(wanted)]
        if [text.upper() for kind, text in ahead if kind in {"word", "sign"}] != wanted or len(ahead) != len(wanted):
            return False
        self._at += len(wanted)
        return True

    def expect(self, words: str) -> None:
        """Take *words*. Raises TokensError."""
        if not self.accept(words):
            raise TokensError(f"expected {words}, found {self._shown()}")

    def end(self) -> None:
        """Raise TokensError unless all was taken."""
        if not self.is_done:
            raise TokensError(f"extraneous input {self._shown()} expecting EOF")

    def take_name(self) -> str:
        """Return the name that comes next, in lower case. Raises TokensError."""
        return self._take("word", "tick", "quoted").replace("``", "`").lower()

    def take_string(self) -> str:
        """Return the quoted text that comes next. Raises TokensError."""
        return re.sub(r"\\(.)", r"\1", self._take("text", "quoted").replace("''", "'"))

    def take_properties(self) -> dict[str, str]:
        """Return ``('key' = 'value', …)`` or ``(key = 'value', …)``. Raises TokensError."""
        properties: dict[str, str] = {}
        self.expect("(")
        while True:
            key = self._take("word", "tick", "text", "quoted")
            self.expect("=")
            properties[key] = self._take("text", "word", "quoted")
            if self.accept(")"):
                return properties
            self.expect(",")

    def take_type(self) -> str:
        """Return the type that comes next: ``map<string,array<decimal(10,2)>>``. Raises TokensError."""
        text = self._take("word").lower()
        closing = {"<": ">", "(": ")"}
        open_signs: list[str] = []
        while not self.is_done:
            kind, token = self._tokens[self._at]
            if kind == "sign" and token in closing:
                open_signs.append(closing[token])
            elif open_signs and token == open_signs[-1]:
                open_signs.pop()
            elif not open_signs:
                break
            text += token.lower()
            self._at += 1
        if open_signs:
            raise TokensError(f"the type {text} is not closed")
        return text

    def _take(self, *kinds: str) -> str:
        if self.is_done or self._tokens[self._at][0] not in kinds:
            raise TokensError(f"expected a {' or '.join(kinds)}, found {self._shown()}")
        self._at += 1
        return self._tokens[self._at - 1][1]

    def _shown(self) -> str:
        return "the end" if self.is_done else f"'{self._tokens[self._at][1]}'"
