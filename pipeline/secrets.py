"""Passwords and tokens in addresses: hidden in all that is shown or stored, and given by the environment."""

import os
import re
from urllib.parse import quote

HIDDEN = "***"

REFERENCE = re.compile(r"\$\{(BDD_(?!SMTP|WEBHOOK|POSTGRES)\w+)\}")
"""Of a variable of the environment that is meant for it: a foreign recipe must not send others to its server."""
_USER = re.compile(r"(?<=://)(?:[^/?#\s]*|[^/?#\s@]*:(?!\d*[/?#\s])\S*)@")
"""User and password, also where the password has a slash, which no address may."""
_GIVEN_USER = re.compile(rf"(?:[^:@]*:)?(?:{REFERENCE.pattern})+@")
_NAMES = (
    r"[\w.-]*(?:token|secret|passw|pwd|signature|credential|api[-_]?key|session)[\w.-]*|"
    r"sig|key|oauth\w*|auth(?:orization|[-_]?key)?|policy|expires|key-pair-id|awsaccesskeyid|googleaccessid|"
    r"x-(?:amz|goog)-[\w-]+"
)
_NAMES_SIGNED = rf"{_NAMES}|s[vtreps]|ss|srt|spr|sip|si|sk[tesv]|skoid|sktid|sdd"
"""Those of Azure, too, which an address has only beside a signature `sig`."""
_VALUE = rf"=)(?!(?:{REFERENCE.pattern})+(?![\w%+/=.~$-]))[^&;#\s'\"<>]*"
_FIELD, _FIELD_SIGNED = (re.compile(rf"([?&;#](?:{names}){_VALUE}", re.I) for names in (_NAMES, _NAMES_SIGNED))

_given: dict[str, str] = {}
"""The references that have been expanded, by their values."""
SHORTEST = 6
"""Shorter values of the environment are no secrets, and stand in texts by chance."""


def redacted(text: str) -> str:
    """Return an address, or a text with some, without users, passwords, tokens and signatures.

    References to the environment stay, and values that were expanded become references again.
    """
    for value, reference in _given.items():
        text = text.replace(value, reference)
    text = _USER.sub(lambda user: user[0] if _GIVEN_USER.fullmatch(user[0]) else f"{HIDDEN}@", text)
    is_signed = re.search(r"[?&]sig=", text, re.I)
    return (_FIELD_SIGNED if is_signed else _FIELD).sub(rf"\g<1>{HIDDEN}", text)


def expanded(address: str) -> str:
    """Return an address with the values of `${BDD_NAME}`; raises ValueError naming a variable that is not set."""
    return REFERENCE.sub(_value, address)


def _value(reference: re.Match[str]) -> str:
    value = os.environ.get(reference[1])
    if not value:
        raise ValueError(f"the environment variable {reference[1]} is not set: export it, or give the address whole")
    if len(value) >= SHORTEST:
        _given.update({value: reference[0], quote(value, safe="!#$%&'()*+,/:;=?@[]~"): reference[0]})
    return value
