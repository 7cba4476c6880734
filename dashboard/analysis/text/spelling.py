"""Texts as they are compared: capitals, accents and punctuation aside. Knows letters, no meaning."""

import re
import unicodedata

_FOLDED = str.maketrans({"ø": "o", "ł": "l", "đ": "d", "ð": "d", "ı": "i", "ß": "ss", "æ": "ae", "œ": "oe", "þ": "th", "’": "'"})
_ARTICLES = frozenset({"the", "a", "an"})


def fold(text: str) -> str:
    """Lower case, accents taken off: "Nikšić" gives "niksic"."""
    plain = unicodedata.normalize("NFKD", text).lower().translate(_FOLDED)  # decomposing can bring capitals to light
    decomposed = unicodedata.normalize("NFKD", plain)
    return "".join(c for c in decomposed if not unicodedata.combining(c))


def words(text: str) -> list[str]:
    """Runs of letters and digits, folded."""
    return re.findall(r"[^\W_]+", fold(text))


def same_name(name: str) -> str:
    """What names have in common that are the same but for capitals, accents, punctuation, word order and articles.

    "The Beatles" and "beatles", "Lennon, John" and "John Lennon", "Xi'an" and "Xian" give the same. A name without letters
    and digits gives itself.
    """
    found = words(fold(name).replace("'", ""))
    kept = [word for word in found if word not in _ARTICLES] or found
    return " ".join(sorted(kept)) or " ".join(fold(name).split())
