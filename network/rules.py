"""What makes a document a valid network: one list of rules, each with its own sentence.

Rules are tried in order and each may rely on those before it, so the first that fails names the
fault. They hold for networks built in Python and for files alike.
"""

from __future__ import annotations

from collections.abc import Iterable

from nomul.network.description_rules import DESCRIPTION_RULES, Rule
from nomul.network.document import Document
from nomul.network.errors import InvalidNetwork
from nomul.network.table_rules import TABLE_RULES

__all__ = ["RULES", "check", "check_description"]

RULES: tuple[Rule, ...] = (*DESCRIPTION_RULES, *TABLE_RULES)


def check(document: Document) -> None:
    """Apply every rule.

    Raises
    ------
    InvalidNetwork
        With the sentence of the first rule that fails.
    """
    _apply(RULES, document)


def check_description(document: Document) -> None:
    """Apply the rules that look into no tensor: what they pass can be built and then checked.

    Raises
    ------
    InvalidNetwork
        With the sentence of the first rule that fails.
    """
    _apply(DESCRIPTION_RULES, document)


def _apply(rules: Iterable[Rule], document: Document) -> None:
    for rule in rules:
        for sentence in rule(document):
            raise InvalidNetwork(sentence)
