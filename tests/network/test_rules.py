"""The rules are tried in order, all of them or those of the description alone."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from nomul.network import InvalidNetwork
from nomul.network.document import Document
from nomul.network.rules import RULES, check, check_description
from tests.network.documents import changed, drop, example, graph_example, put, put_values


@pytest.mark.parametrize("document", [example(), example("levels"), graph_example()])
def test_a_valid_document_passes_every_rule(document: Document) -> None:
    check(document)
    assert not any(sentence for rule in RULES for sentence in rule(document))


def test_the_first_rule_that_fails_gives_the_sentence() -> None:
    document = changed(example(), put("layers.0.bias", (9,)), drop("layers.1.bias"))
    with pytest.raises(InvalidNetwork) as refused:
        check(document)
    assert str(refused.value) == "The tensor layers.1.bias is missing."


@pytest.mark.parametrize(
    ("checker", "passes"), [(check, False), (check_description, True)], ids=["all", "description"]
)
def test_the_description_is_checked_without_the_tables(
    checker: Callable[[Document], None], passes: bool
) -> None:
    document = changed(example(), put_values("layers.0.weight_index", [[9] * 3] * 4, np.uint8))
    if passes:
        checker(document)
    else:
        with pytest.raises(InvalidNetwork, match="holds 9"):
            checker(document)
