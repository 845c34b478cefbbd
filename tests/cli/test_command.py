from __future__ import annotations

import json
from argparse import Namespace

import pytest

from nomul.cli.command import print_result


def test_a_result_is_one_json_object_or_a_line_for_each_key(
    capsys: pytest.CaptureFixture[str],
) -> None:
    result = {"samples": 7, "board": "icebreaker"}
    print_result(result, Namespace(json=True))
    assert json.loads(capsys.readouterr().out) == result
    print_result(result, Namespace(json=False))
    assert capsys.readouterr().out == "samples  7\nboard    icebreaker\n"
