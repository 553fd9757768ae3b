"""The phones that recognisers work with."""

_PHONES = (
    "AA AE AH AO AW AY B CH D DH EH ER EY F G HH IH IY JH K L M N NG OW OY P R S SH T TH UH UW V W Y Z ZH"
)
PHONES = tuple(_PHONES.split())
"""Of the CMU pronouncing dictionary, without stress."""
