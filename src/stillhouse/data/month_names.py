"""Names of months in several languages, full and shortened."""

from __future__ import annotations

import unicodedata
from functools import cache

MONTH = r"([^\W\d_]{3,})\.?"
_SHORTEST = 3
# From January to December; words of one month are joined by "/".
_NAMES = (
    "january february march april may june july august september october november december",
    "januar/jänner februar/feber märz april mai juni juli august september oktober november dezember",
    "janvier février mars avril mai juin juillet août septembre octobre novembre décembre",
    "enero febrero marzo abril mayo junio julio agosto septiembre/setiembre octubre noviembre diciembre",
    "gennaio febbraio marzo aprile maggio giugno luglio agosto settembre ottobre novembre dicembre",
    "janeiro fevereiro março abril maio junho julho agosto setembro outubro novembro dezembro",
    "januari februari maart/mrt april mei juni juli augustus september oktober november december",
    "januari februari mars april maj juni juli augusti september oktober november december",
    "januar februar marts april maj juni juli august september oktober november desember",
    "styczeń/stycznia luty/lutego marzec/marca kwiecień/kwietnia maj/maja czerwiec/czerwca lipiec/lipca "
    "sierpień/sierpnia wrzesień/września październik/października listopad/listopada grudzień/grudnia",
    "январь/января февраль/февраля март/марта апрель/апреля май/мая июнь/июня июль/июля август/августа "
    "сентябрь/сентября октябрь/октября ноябрь/ноября декабрь/декабря",
    "ocak şubat mart nisan mayıs haziran temmuz ağustos eylül ekim kasım aralık",
    "januari februari maret april mei juni juli agustus september oktober november desember",
)


def month(word: str) -> int | None:
    """Return the month that a word names, 1 to 12; None: no month, or several could be meant.

    A name may be shortened to three letters or more; accents and capitals do not matter.

    >>> month("Sept."), month("févr"), month("MAI"), month("jui"), month("monday")
    (9, 2, 5, None, None)
    """
    plain = _plain(word.rstrip("."))
    if plain in _full():
        return _full()[plain]
    if len(plain) < _SHORTEST:
        return None
    meant = {number for name, number in _full().items() if name.startswith(plain)}
    return meant.pop() if len(meant) == 1 else None


@cache
def _full() -> dict[str, int]:
    return {
        _plain(name): number
        for language in _NAMES
        for number, names in enumerate(language.split(), 1)
        for name in names.split("/")
    }


def _plain(word: str) -> str:
    """Small letters without accents."""
    apart = unicodedata.normalize("NFKD", word.casefold().replace("ı", "i"))
    return "".join(letter for letter in apart if not unicodedata.combining(letter))
