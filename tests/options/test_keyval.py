"""Key-value text becomes nested texts; what breaks the grammar is named."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qmpd.errors import QmpError
from qmpd.options import keyval


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("", {}),
        ("a=1", {"a": "1"}),
        ("a=1,", {"a": "1"}),
        ("a=", {"a": ""}),
        ("a=1,a=2", {"a": "2"}),
        ("a=b=c", {"a": "b=c"}),
        ("a=1,,2,b=3", {"a": "1,2", "b": "3"}),
        ("a=,,", {"a": ","}),
        ("a=x,,,b=1", {"a": "x,", "b": "1"}),
        ("a.b.c=1,a.d=2", {"a": {"b": {"c": "1"}, "d": "2"}}),
        ("l.0=a,l.1=b", {"l": ["a", "b"]}),
        ("l.1=b,l.0=a", {"l": ["a", "b"]}),
        ("l.0.x=1,l.1.x=2", {"l": [{"x": "1"}, {"x": "2"}]}),
        ("l.0.0=1", {"l": [["1"]]}),
        ("file", {"driver": "file"}),
        ("file,a=1", {"driver": "file", "a": "1"}),
        ("driver", {"driver": "driver"}),
        ("a=help", {"a": "help"}),
        ("__org_x=1", {"__org_x": "1"}),
    ],
)
def test_texts(text, tree):
    assert keyval.parse(text, "driver") == tree


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("x,file", "Expected '=' after parameter 'file'"),
        ("=1", "Invalid parameter ''"),
        (",a=1", "Invalid parameter ''"),
        ("1=1", "Invalid parameter '1'"),
        ("a.b c=1", "Invalid parameter 'a.b c'"),
        ("é=1", "Invalid parameter 'é'"),
        ("a=1,a.b=2", "Parameters 'a.*' used inconsistently"),
        ("a.b=1,a=2", "Parameters 'a.*' used inconsistently"),
        ("a.b=1,a.b.c=2", "Parameters 'a.b.*' used inconsistently"),
        ("a.0=1,a.b=2", "Parameters 'a.*' used inconsistently"),
        ("a.1=1", "Parameter 'a.0' missing"),
        ("a.0.1=1", "Parameter 'a.0.0' missing"),
        ("x,help", "Help is not available for this option"),
        ("?", "Help is not available for this option"),
    ],
)
def test_faults(text, sentence):
    with pytest.raises(QmpError) as caught:
        keyval.parse(text, "driver")
    assert caught.value.desc == sentence


def test_without_an_implied_key_the_first_item_needs_an_equals_sign():
    with pytest.raises(QmpError, match="Expected '=' after parameter 'file'"):
        keyval.parse("file")


names = st.from_regex(r"[a-z][a-z0-9_-]{0,8}", fullmatch=True)
values = st.recursive(
    st.text(alphabet="ab,=.{ é", max_size=6),
    lambda inner: st.one_of(
        st.dictionaries(names, inner, min_size=1, max_size=3),
        st.lists(inner, min_size=1, max_size=3),
    ),
    max_leaves=8,
)


def flat(path, value):
    if isinstance(value, str):
        return [f"{path}={value.replace(',', ',,')}"]
    items = value.items() if isinstance(value, dict) else enumerate(value)
    return [line for key, item in items for line in flat(f"{path}.{key}", item)]


@given(st.dictionaries(names, values, max_size=4), st.randoms(use_true_random=False))
def test_any_tree_can_be_spelled_in_any_order(tree, dice):
    items = [item for key, value in tree.items() for item in flat(key, value)]
    dice.shuffle(items)
    assert keyval.parse(",".join(items)) == tree
