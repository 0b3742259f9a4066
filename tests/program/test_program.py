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
    widths=(1, 2, 0, 5, 5, 2),
    ops=(Dense(3, 1, 0, 1, 1), Unary(4, 3, "tanh"), Dense(5, 4, 2, None, 1)),
    output=5,
    parameter_shapes=((5, 2), (5,), (2, 5)),
)


def test_prints_one_line_an_operation() -> None:
    assert str(MLP).splitlines() == [
        "program(t[1], y[2], p0[5, 2], p1[5], p2[2, 5])",
        "  v3[5] = p0 @ y + p1",
        "  v4[5] = tanh(v3)",
        "  v5[2] = p2 @ v4",
        "  return v5",
    ]


def test_prints_every_kind_of_operation() -> None:
    ops: tuple[Op, ...] = (
        Gather(3, (0, 1), (0, 0, 0, 1, 2, 5)),
        Constant(4, (0.5,) * 6),
        Binary(5, 3, 4, "maximum"),
        Unary(6, 5, "affine", (2.0, -1.0)),
        Parameter(7, 0),
        SegmentSum(8, 6, (0, 1, 2, 3, 4, 4)),
        Dense(9, 8, 1, None, 5),
        DenseDynamic(10, 3, 4, 1, 2),
        DenseDynamic(11, 3, 4, 3, 1),
        DenseDynamic(12, 7, 3, 1, 1),
        Select(13, 8, 9, 1),
    )
    widths = (1, 5, 0, 6, 6, 6, 6, 3, 5, 5, 4, 3, 2, 5)
    text = str(Program(widths, ops, 13, ((3,), (1, 1))))
    for line in (
        "v3[6] = (t, y)[0 x 3, 1:3, 5]",
        "v4[6] = [0.5, 0.5, 0.5, 0.5, 0.5, 0.5]",
        "v5[6] = maximum(v3, v4)",
        "v6[6] = affine(v5, scale=2, shift=-1)",
        "v7[3] = p0",
        "v8[5] = segment_sum(v6, [0:5, 4])",
        "v9[5] = p1 @ v8, 5 times",
        "v10[4] = v4 @ v3, 2 times",
        "v11[3] = v4 @ v3, 3 blocks",
        "v12[2] = v3 @ v7",
        "v13[5] = v9 where v8 else y",
    ):
        assert f"  {line}\n" in text


def test_prints_what_belongs_to_a_trajectory_and_what_is_shared() -> None:
    ops = (Unary(3, 0, "sin"), Gather(4, (1, 2, 3), (0, 1, 4)))
    assert str(Program((1, 3, 1, 1, 3), ops, 4, shared=1)).splitlines() == [
        "program(t[1], y[3], c[1])",
        "  shared v3[1] = sin(t)",
        "  v4[3] = (y, c, v3)[0:2, 4]",
        "  return v4",
    ]


def test_a_long_index_is_shortened() -> None:
    index = tuple(i * i % 97 for i in range(97))
    text = str(Program((1, 97, 0, 97), (Gather(3, (1,), index),), 3))
    assert "more" in text
    assert len(text) < 200


def test_equal_programs_are_equal_and_hash_alike() -> None:
    again = Program(MLP.widths, MLP.ops, MLP.output, MLP.parameter_shapes)
    assert again == MLP
    assert hash(again) == hash(MLP)
    other = Program(MLP.widths, (*MLP.ops[:1], Unary(4, 3, "sin"), *MLP.ops[2:]), 5, MLP.parameter_shapes)
    assert other != MLP
    ops = (Unary(3, 0, "sin"), Gather(4, (3,), (0, 0)))
    split = [Program((1, 2, 0, 1, 2), ops, 4, shared=shared) for shared in (0, 1)]
    assert split[0] != split[1]


def test_flops_count_multiply_adds_twice() -> None:
    assert MLP.flops() == 2 * 2 * 5 + 5 + 2 * 5 * 2
    assert MLP.flops(7) == 7 * MLP.flops()


def test_what_is_shared_counts_once() -> None:
    ops = (Dense(3, 0, 0, None, 1), Unary(4, 3, "tanh"), Binary(5, 4, 1, "mul"))
    program = Program((1, 4, 0, 4, 4, 4), ops, 5, ((4, 1),), shared=2)
    assert program.flops() == 2 * 4 + 4 + 4
    assert program.flops(7) == 2 * 4 + 4 + 7 * 4


def test_flops_of_shared_weights_and_sums() -> None:
    ops = (Dense(3, 1, 0, None, 3), SegmentSum(4, 3, (0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5)))
    program = Program((1, 6, 0, 12, 6), ops, 4, ((4, 2),))
    assert program.flops() == 2 * 3 * 4 * 2 + 12


def test_flops_of_computed_weights_and_choices() -> None:
    ops = (DenseDynamic(3, 1, 1, 1, 3), Gather(4, (3,), (0,) * 6), Select(5, 1, 4, 1))
    assert Program((1, 6, 0, 9, 6, 6), ops, 5).flops() == 2 * 2 * 9 + 6


MALFORMED = {
    "three more widths": ((1, 2, 2, 2, 2), (Unary(3, 1, "sin"),), 3, ()),
    "t has width 1": ((2, 2, 0, 2), (Unary(3, 1, "sin"),), 3, ()),
    "no value but c is empty": ((1, 0, 0), (), 1, ()),
    "must write value 3": ((1, 2, 0, 2), (Unary(4, 1, "sin"),), 3, ()),
    "not written before": ((1, 2, 0, 2), (Unary(3, 3, "sin"),), 3, ()),
    "unknown unary function 'sine'": ((1, 2, 0, 2), (Unary(3, 1, "sine"),), 3, ()),
    "takes the constants": ((1, 2, 0, 2), (Unary(3, 1, "affine", (1.0,)),), 3, ()),
    "unknown binary function 'nextafter'": ((1, 2, 0, 2), (Binary(3, 1, 1, "nextafter"),), 3, ()),
    "joins widths 2 and 1": ((1, 2, 0, 2), (Binary(3, 1, 0, "add"),), 3, ()),
    "index outside": ((1, 2, 0, 2), (Gather(3, (1,), (0, 2)),), 3, ()),
    "has 1 segments": ((1, 2, 0, 2), (SegmentSum(3, 1, (0,)),), 3, ()),
    "segment outside": ((1, 2, 0, 2), (SegmentSum(3, 1, (0, 2)),), 3, ()),
    "writes 2 rows where 3 are declared": ((1, 2, 0, 3), (Unary(3, 1, "sin"),), 1, ()),
    "parameter 1 of 1 does not exist": ((1, 2, 0, 2), (Parameter(3, 1),), 3, ((2,),)),
    r"not \(out_features, in_features\)": ((1, 2, 0, 2), (Dense(3, 1, 0, None, 1),), 3, ((2,),)),
    "the bias of": ((1, 2, 0, 2), (Dense(3, 1, 0, 1, 1),), 3, ((2, 2), (3,))),
    "not 2 groups of 2": ((1, 2, 0, 4), (Dense(3, 1, 0, None, 2),), 1, ((2, 2),)),
    "not 0 times 1 equal groups": ((1, 4, 0, 4), (DenseDynamic(3, 1, 1, 0, 1),), 1, ()),
    "not 1 times -1 equal groups": ((1, 4, 0, 4), (DenseDynamic(3, 1, 1, 1, -1),), 1, ()),
    "not 3 times 1 equal groups": ((1, 4, 0, 3), (DenseDynamic(3, 1, 1, 3, 1),), 1, ()),
    "has 1 rows, no multiple of 4": ((1, 4, 0, 4), (DenseDynamic(3, 1, 0, 1, 1),), 1, ()),
    "writes 1 rows where 4 are declared": ((1, 4, 0, 4), (DenseDynamic(3, 1, 1, 1, 1),), 1, ()),
    "joins widths 1, 2 and 2": ((1, 2, 0, 2), (Select(3, 0, 1, 1),), 3, ()),
    "joins widths 2, 2 and 1": ((1, 2, 0, 2), (Select(3, 1, 1, 0),), 3, ()),
    "the output is value 6 of 3": ((1, 2, 0), (), 6, ()),
    "dy/dt has width 1, y has 2": ((1, 2, 0), (), 0, ()),
    "2 of 1 operations are shared": ((1, 2, 0, 2), (Unary(3, 1, "sin"),), 3, (), 2),
    "shared by all trajectories": ((1, 2, 0, 2), (Unary(3, 1, "sin"),), 3, (), 1),
    "reads one's own rows": ((1, 2, 3, 3), (Unary(3, 2, "sin"),), 1, (), 1),
}


@pytest.mark.parametrize("message", MALFORMED)
def test_malformed_programs_are_refused(message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Program(*MALFORMED[message])
