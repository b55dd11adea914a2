"""How docstrings and signatures of the public names are shown."""

from __future__ import annotations

import inspect
import re

from sphinx.application import Sphinx


def without_places(app: Sphinx, kind: str, name: str, thing: object, skip: bool, options: object) -> bool | None:
    """Fields of a named tuple are described with it, not as "Alias for field number 0"."""
    return True if type(thing).__name__ == "_tuplegetter" else None


def plain_property(app: Sphinx, kind: str, name: str, thing: object, options: object, lines: list[str]) -> None:
    """A property's docstring as it is: Napoleon takes what stands before its first colon for a type."""
    if isinstance(thing, property):
        lines[:] = [*inspect.cleandoc(thing.__doc__ or "").splitlines(), ""]


def short_signature(
    app: Sphinx, kind: str, name: str, thing: object, options: object, signature: str | None, returned: str | None
) -> tuple[str | None, str | None]:
    """Without the modules of types, and with `...` for a default that is made anew each time."""
    if signature is not None:
        signature = re.sub(r"~(?:\w+\.)+", "", signature).replace("<factory>", "...")
    return signature, returned


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("autodoc-skip-member", without_places)
    app.connect("autodoc-process-docstring", plain_property, priority=900)  # after Napoleon
    app.connect("autodoc-process-signature", short_signature)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
