"""Words as the search compares them."""

import unicodedata


def fold(text: str) -> str:
    """Text without case, accents and repeated spaces: "Café  Öland" becomes "cafe oland"."""
    parts = unicodedata.normalize("NFKD", text.casefold())
    return " ".join("".join(part for part in parts if not unicodedata.combining(part)).split())
