"""Examples: texts worth a look."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Example:
    """A text worth a first look, with a latent of the default suite that says something on it."""

    text: str
    latent: str
    token: int


EXAMPLES = {
    "Cities": Example(
        "The Eiffel Tower is in Paris, the Colosseum is in Rome, and the Gyeongbokgung palace is in Seoul.",
        "smollm2-135m/19.resid_post/615",
        7,
    ),
    "Titles": Example(
        "The film The Godfather was directed by Francis Ford Coppola in 1972, and the song Imagine was written by John Lennon.",
        "smollm2-135m/19.resid_post/1102",
        5,
    ),
    "Code": Example(
        "def mean(values):\n    # The average of a list of numbers\n    return sum(values) / len(values)\n",
        "smollm2-135m/17.resid_post/324",
        17,
    ),
    "한국어": Example("서울은 대한민국의 수도입니다 🇰🇷. 부산은 바다가 아름다운 도시예요 👩‍👩‍👧.", "smollm2-135m/17.resid_post/1384", 31),
}
