"""A Program validates itself, prints, hashes and counts its work."""

import pytest

from flashode.program import (
    Binary,
    Constant,
    Dense,
    DenseDynamic,
    Gather,
    Op,
    Parameter,
    Program,
    SegmentSum,
    Select,
    Unary,
)

MLP = Program(
    widths=(1, 2, 5, 5, 2),
    ops=(Dense(2, 1, 0, 1, 1), Unary(3, 2, "tanh"), Dense(4, 3, 2, None, 1)),
    output=4,
    parameter_shapes=((5, 2), (5,), (2, 5)),
)


def test_prints_one_line_an_operation() -> None:
    assert str(MLP).splitlines() == [
        "program(t[1], y[2], p0[5, 2], p1[5], p2[2, 5])",
        "  v2[5] = p0 @ y + p1",
        "  v3[5] = tanh(v2)",
        "  v4[2] = p2 @ v3",
        "  return v4",
    ]


def test_prints_every_kind_of_operation() -> None:
    ops: tuple[Op, ...] = (
        Gather(2, (0, 1), (0, 0, 0, 1, 2, 5)),
        Constant(3, (0.5,) * 6),
        Binary(4, 2, 3, "maximum"),
        Unary(5, 4, "affine", (2.0, -1.0)),
        Parameter(6, 0),
        SegmentSum(7, 5, (0, 1, 2, 3, 4, 4)),
        Dense(8, 7, 1, None, 5),
        DenseDynamic(9, 2, 3, 1, 2),
        DenseDynamic(10, 2, 3, 3, 1),
        DenseDynamic(11, 6, 2, 1, 1),
        Select(12, 7, 8, 1),
    )
    widths = (1, 5, 6, 6, 6, 6, 3, 5, 5, 4, 3, 2, 5)
    text = str(Program(widths, ops, 12, ((3,), (1, 1))))
    for line in (
        "v2[6] = (t, y)[0 x 3, 1:3, 5]",
        "v3[6] = [0.5, 0.5, 0.5, 0.5, 0.5, 0.5]",
        "v4[6] = maximum(v2, v3)",
        "v5[6] = affine(v4, scale=2, shift=-1)",
        "v6[3] = p0",
        "v7[5] = segment_sum(v5, [0:5, 4])",
        "v8[5] = p1 @ v7, 5 times",
        "v9[4] = v3 @ v2, 2 times",
        "v10[3] = v3 @ v2, 3 blocks",
        "v11[2] = v2 @ v6",
        "v12[5] = v8 where v7 else y",
    ):
        assert f"  {line}\n" in text


def test_a_long_index_is_shortened() -> None:
    index = tuple(i * i % 97 for i in range(97))
    text = str(Program((1, 97, 97), (Gather(2, (1,), index),), 2))
    assert "more" in text
    assert len(text) < 200


def test_equal_programs_are_equal_and_hash_alike() -> None:
    again = Program(MLP.widths, MLP.ops, MLP.output, MLP.parameter_shapes)
    assert again == MLP
    assert hash(again) == hash(MLP)
    other = Program(MLP.widths, (*MLP.ops[:1], Unary(3, 2, "sin"), *MLP.ops[2:]), 4, MLP.parameter_shapes)
    assert other != MLP


def test_flops_count_multiply_adds_twice() -> None:
    assert MLP.flops() == 2 * 2 * 5 + 5 + 2 * 5 * 2
    assert MLP.flops(7) == 7 * MLP.flops()


def test_flops_of_shared_weights_and_sums() -> None:
    ops = (Dense(2, 1, 0, None, 3), SegmentSum(3, 2, (0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5)))
    program = Program((1, 6, 12, 6), ops, 3, ((4, 2),))
    assert program.flops() == 2 * 3 * 4 * 2 + 12


def test_flops_of_computed_weights_and_choices() -> None:
    ops = (DenseDynamic(2, 1, 1, 1, 3), Gather(3, (2,), (0,) * 6), Select(4, 1, 3, 1))
    assert Program((1, 6, 9, 6, 6), ops, 4).flops() == 2 * 2 * 9 + 6


MALFORMED = {
    "two more widths": ((1, 2, 2, 2), (Unary(2, 1, "sin"),), 2, ()),
    "t has width 1": ((2, 2, 2), (Unary(2, 1, "sin"),), 2, ()),
    "no value is empty": ((1, 0), (), 1, ()),
    "must write value 2": ((1, 2, 2), (Unary(3, 1, "sin"),), 2, ()),
    "not written before": ((1, 2, 2), (Unary(2, 2, "sin"),), 2, ()),
    "unknown unary function 'sine'": ((1, 2, 2), (Unary(2, 1, "sine"),), 2, ()),
    "takes the constants": ((1, 2, 2), (Unary(2, 1, "affine", (1.0,)),), 2, ()),
    "unknown binary function 'nextafter'": ((1, 2, 2), (Binary(2, 1, 1, "nextafter"),), 2, ()),
    "joins widths 2 and 1": ((1, 2, 2), (Binary(2, 1, 0, "add"),), 2, ()),
    "index outside": ((1, 2, 2), (Gather(2, (1,), (0, 2)),), 2, ()),
    "has 1 segments": ((1, 2, 2), (SegmentSum(2, 1, (0,)),), 2, ()),
    "segment outside": ((1, 2, 2), (SegmentSum(2, 1, (0, 2)),), 2, ()),
    "writes 2 rows where 3 are declared": ((1, 2, 3), (Unary(2, 1, "sin"),), 1, ()),
    "parameter 1 of 1 does not exist": ((1, 2, 2), (Parameter(2, 1),), 2, ((2,),)),
    r"not \(out_features, in_features\)": ((1, 2, 2), (Dense(2, 1, 0, None, 1),), 2, ((2,),)),
    "the bias of": ((1, 2, 2), (Dense(2, 1, 0, 1, 1),), 2, ((2, 2), (3,))),
    "not 2 groups of 2": ((1, 2, 4), (Dense(2, 1, 0, None, 2),), 1, ((2, 2),)),
    "not 0 times 1 equal groups": ((1, 4, 4), (DenseDynamic(2, 1, 1, 0, 1),), 1, ()),
    "not 1 times -1 equal groups": ((1, 4, 4), (DenseDynamic(2, 1, 1, 1, -1),), 1, ()),
    "not 3 times 1 equal groups": ((1, 4, 3), (DenseDynamic(2, 1, 1, 3, 1),), 1, ()),
    "has 1 rows, no multiple of 4": ((1, 4, 4), (DenseDynamic(2, 1, 0, 1, 1),), 1, ()),
    "writes 1 rows where 4 are declared": ((1, 4, 4), (DenseDynamic(2, 1, 1, 1, 1),), 1, ()),
    "joins widths 1, 2 and 2": ((1, 2, 2), (Select(2, 0, 1, 1),), 2, ()),
    "joins widths 2, 2 and 1": ((1, 2, 2), (Select(2, 1, 1, 0),), 2, ()),
    "the output is value 5 of 2": ((1, 2), (), 5, ()),
    "dy/dt has width 1, y has 2": ((1, 2), (), 0, ()),
}


@pytest.mark.parametrize("message", MALFORMED)
def test_malformed_programs_are_refused(message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Program(*MALFORMED[message])
