"""Lists of words as running text, and people's names."""


def listed(text: str) -> list[str]:
    """Return the words of a list written as running text."""
    return text.split()


NAMES = listed("""
Anna Ben Clara David Emma Frank Grace Henry Isabel Jack Kate Leo Maria Nick Olivia Peter Rosa Sam Teresa
Victor Wendy Arthur Beth Charles Diana Edward Fiona George Hannah Ivan Julia Kevin Lucy Martin Nora Oscar
Paul Rachel Simon Thomas Ursula Vera Walter Yusuf Zoe Aisha Hugo Joyce Philip
""")
