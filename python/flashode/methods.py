"""Every method's Butcher tableau, written once and exactly.

Conventions. A step from ``(t0, y0)`` with size ``dt`` computes the stages
``k[i] = f(t0 + c[i] dt, y0 + dt * sum_j a[i][j] k[j])`` and then ``y1 = y0 + dt * sum_i b[i] k[i]``. An
adaptive method also has ``b_error``, whose combination ``dt * sum_i b_error[i] k[i]`` is the difference
between the solution and the embedded one, and ``b_mid``, with ``y(t0 + dt/2) ~ y0 + dt * sum_i b_mid[i]
k[i]`` for the dense output. Adaptive methods reuse the last stage as the first of the next step, whether or
not it was evaluated at ``y1``.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

Row = tuple[Fraction, ...]

# Prince and Dormand publish 18-digit rational approximations; every other method has row sums exact far
# beyond this.
_ROW_SUM_TOLERANCE = Fraction(1, 10**15)


@dataclass(frozen=True)
class FloatTableau:
    """A tableau rounded to double precision, for engines that compute."""

    a: tuple[tuple[float, ...], ...]
    b: tuple[float, ...]
    c: tuple[float, ...]
    b_error: tuple[float, ...]  # empty for a fixed-step method
    b_mid: tuple[float, ...]  # empty for a fixed-step method


# Compared and hashed by identity: hashing a hundred fractions costs more than a solve.
@dataclass(frozen=True, eq=False)
class Tableau:
    """An explicit Runge-Kutta method.

    Attributes:
        name: The name it is called by.
        order: Order of the propagated solution; also the order in the step-size formula.
        a: Row i has i entries.
        b: Weights of the propagated solution.
        c: Abscissae.
        b_error: Weights of the error estimate, or None for a fixed-step method.
        b_mid: Weights of the solution at the middle of the step, or None for a fixed-step method.
        source: Where the coefficients were published.

    Raises:
        ValueError: If the shapes do not fit or the rows of ``a`` do not sum to ``c``.
    """

    name: str
    order: int
    a: tuple[Row, ...]
    b: Row
    c: Row
    b_error: Row | None
    b_mid: Row | None
    source: str

    def __post_init__(self) -> None:
        stages = len(self.b)
        if len(self.a) != stages or len(self.c) != stages or stages == 0:
            raise ValueError(f"tableau {self.name}: a, b and c must have the same number of stages")
        for i, (row, c) in enumerate(zip(self.a, self.c, strict=True)):
            if len(row) != i:
                raise ValueError(
                    f"tableau {self.name}: row {i} of a must have {i} entries, it has {len(row)}"
                )
            if abs(sum(row, Fraction(0)) - c) > _ROW_SUM_TOLERANCE:
                raise ValueError(f"tableau {self.name}: row {i} of a must sum to c[{i}]")
        if abs(sum(self.b, Fraction(0)) - 1) > _ROW_SUM_TOLERANCE:
            raise ValueError(f"tableau {self.name}: b must sum to 1")
        if (self.b_error is None) != (self.b_mid is None):
            raise ValueError(f"tableau {self.name}: b_error and b_mid go together")
        for label, weights, total in (("b_error", self.b_error, 0), ("b_mid", self.b_mid, Fraction(1, 2))):
            if weights is None:
                continue
            if len(weights) != stages:
                raise ValueError(f"tableau {self.name}: {label} must have {stages} entries")
            if abs(sum(weights, Fraction(0)) - total) > _ROW_SUM_TOLERANCE:
                raise ValueError(f"tableau {self.name}: {label} must sum to {total}")

    @property
    def stages(self) -> int:
        """Number of stages."""
        return len(self.b)

    @property
    def adaptive(self) -> bool:
        """Whether the method estimates its own error."""
        return self.b_error is not None

    @property
    def fsal(self) -> bool:
        """Whether the last stage is evaluated at the new solution."""
        return self.b == (*self.a[-1], 0)

    @cached_property
    def _floats(self) -> FloatTableau:
        return FloatTableau(
            a=tuple(tuple(map(float, row)) for row in self.a),
            b=tuple(map(float, self.b)),
            c=tuple(map(float, self.c)),
            b_error=tuple(map(float, self.b_error or ())),
            b_mid=tuple(map(float, self.b_mid or ())),
        )

    def floats(self) -> FloatTableau:
        """The tableau rounded to double precision."""
        return self._floats


def _row(text: str) -> Row:
    """Exact values of blank-separated integers, quotients and decimals."""
    return tuple(Fraction(word) for word in text.split())


def _minus(x: Row, y: Row) -> Row:
    return tuple(p - q for p, q in zip(x, y, strict=True))


def _tableau(
    name: str,
    order: int,
    rows: tuple[str, ...],
    b: str,
    source: str,
    embedded: str | None = None,
    b_mid: Row | None = None,
    c: str | None = None,
) -> Tableau:
    a = tuple(_row(row) for row in rows)
    weights = _row(b)
    return Tableau(
        name=name,
        order=order,
        a=a,
        b=weights,
        c=tuple(sum(row, Fraction(0)) for row in a) if c is None else _row(c),
        b_error=None if embedded is None else _minus(weights, _row(embedded)),
        b_mid=b_mid,
        source=source,
    )


_EULER = _tableau("euler", 1, ("",), "1", "Euler, Institutiones calculi integralis, 1768")

_MIDPOINT = _tableau(
    "midpoint",
    2,
    ("", "1/2"),
    "0 1",
    "Runge, Mathematische Annalen 46, 1895",
)

_HEUN2 = _tableau(
    "heun2",
    2,
    ("", "1"),
    "1/2 1/2",
    "Heun, Zeitschrift fuer Mathematik und Physik 45, 1900",
)

_HEUN3 = _tableau(
    "heun3",
    3,
    ("", "1/3", "0 2/3"),
    "1/4 0 3/4",
    "Heun, Zeitschrift fuer Mathematik und Physik 45, 1900",
)

_RK4 = _tableau(
    "rk4",
    4,
    ("", "1/3", "-1/3 1", "1 -1 1"),
    "1/8 3/8 3/8 1/8",
    "the 3/8 rule: Kutta, Zeitschrift fuer Mathematik und Physik 46, 1901",
)

_ADAPTIVE_HEUN = _tableau(
    "adaptive_heun",
    2,
    ("", "1"),
    "1/2 1/2",
    "Heun 1900 with the backward-looking Euler weights (0, 1) embedded",
    embedded="0 1",
    b_mid=_row("1/2 0"),
)

_FEHLBERG2 = _tableau(
    "fehlberg2",
    2,
    ("", "1/2", "1/256 255/256"),
    "1/512 255/256 1/512",
    "RK1(2), formula 2: Fehlberg, NASA TR R-315, 1969",
    embedded="1/256 255/256 0",
    b_mid=_row("0 1/2 0"),
)

_BOSH3 = _tableau(
    "bosh3",
    3,
    ("", "1/2", "0 3/4", "2/9 1/3 4/9"),
    "2/9 1/3 4/9 0",
    "Bogacki and Shampine, Applied Mathematics Letters 2, 1989",
    embedded="7/24 1/4 1/3 1/8",
    b_mid=_row("0 1/2 0 0"),
)

_DOPRI5 = _tableau(
    "dopri5",
    5,
    (
        "",
        "1/5",
        "3/40 9/40",
        "44/45 -56/15 32/9",
        "19372/6561 -25360/2187 64448/6561 -212/729",
        "9017/3168 -355/33 46732/5247 49/176 -5103/18656",
        "35/384 0 500/1113 125/192 -2187/6784 11/84",
    ),
    "35/384 0 500/1113 125/192 -2187/6784 11/84 0",
    "pair: Dormand and Prince, J. Comp. Appl. Math. 6, 1980, with the embedded weights and the midpoint of "
    "Shampine, Mathematics of Computation 46, 1986",
    embedded="1951/21600 0 22642/50085 451/720 -12231/42400 649/6300 1/60",
    b_mid=tuple(
        weight / 2
        for weight in _row(
            "6025192743/30085553152 0 51252292925/65400821598 -2691868925/45128329728 "
            "187940372067/1594534317056 -1776094331/19743644256 11237099/235043384"
        )
    ),
)


def _first_column(c: str, rest: str) -> str:
    """A row of which all but the first entry are published: the first makes it sum to its abscissa."""
    return f"{Fraction(c) - sum(_row(rest))} {rest}"


_TSIT5_C5 = "0.98002554090450968572981028628702459549421"
_TSIT5_B = (
    "0.096460766818065229518167313165128763337120 0.01 0.47988965041449957477524953229059651991304 "
    "1.3790085741037418931922748218568727707565 -3.2900695154360806799010475857113638501157 "
    "2.3247105240997739824153559183987657961091"
)


def _tsit5_mid() -> Row:
    """The paper's fourth-order interpolant, given there in factored form, at the middle of the step."""
    x = Fraction(1, 2)
    scale, root, p, q = _row("-1.0530884977290216 1.3299890189751412 -1.4364028541716351 0.7139816917074209")
    first = scale * x * (x - root) * (x**2 + p * x + q)
    quadratics = (
        "0.1017 -2.1966568338249754 1.2949852507374631",
        "2.490627285651252793 -2.38535645472061657 1.57803468208092486",
    )
    roots = (
        "-16.54810288924490272 1.21712927295533244 0.61620406037800089",
        "47.37952196281928122 1.203071208372362603 0.658047292653547382",
        "-34.87065786149660974 6/5 2/3",
        "5/2 1 3/5",
    )
    return (
        first,
        *(s * x**2 * (x**2 + p * x + q) for s, p, q in map(_row, quadratics)),
        *(s * x**2 * (x - r1) * (x - r2) for s, r1, r2 in map(_row, roots)),
    )


_TSIT5 = _tableau(
    "tsit5",
    5,
    (
        "",
        "0.161",
        _first_column("0.327", "0.33548065549235698854442687425023077467512"),
        _first_column(
            "0.9", "-6.3594484899750748431481599123838256259527 4.362295432869581411017727318190886861027813"
        ),
        _first_column(
            _TSIT5_C5,
            "-11.748883564062827877747170339785772961887 7.4955393428898362083046047845643581556587 "
            "-0.092495066361755249256502079332071916113499834",
        ),
        _first_column(
            "1",
            "-12.920969317847109291706118681783359395418 8.1593678985761586431804007945392534851819 "
            "-0.071584973281400997224530542525829738691272 -0.028269050394068382909003057212712241467176",
        ),
        _TSIT5_B,
    ),
    _TSIT5_B + " 0",
    "Tsitouras, Computers & Mathematics with Applications 62, 2011",
    # The paper prints the last weight with the opposite sign; order 4 holds with this one.
    embedded="0.094680755765839458074788762557589228561175 0.0091835655403432530967763639366453137598137 "
    "0.4877705284247615707855642599631228241516692 1.2342975669304789856551096738842376540355 "
    "-2.7077123499835254548811099750593216706896 1.8666284181705870357537193995662114986663 1/66",
    b_mid=_tsit5_mid(),
    c=f"0 0.161 0.327 0.9 {_TSIT5_C5} 1 1",
)


def _dopri8_mid() -> Row:
    """The dense output at the middle of the step: x times a polynomial of degree 5 for each weight."""
    polynomials = {  # coefficients of x**5 down to x**0
        0: "-6.3448349392860401388 22.1396504998094068976 -30.0610568289666450593 19.9990069333683970610 "
        "-6.6910181737837595697 1",
        5: "-39.6107919852202505218 116.4422149550342161651 -121.4999627731334642623 52.2273532792945524050 "
        "-7.6142658045872677172 0",
        6: "20.3761213808791436958 -67.1451318825957197185 83.1721004639847717481 -46.8919164181093621583 "
        "10.7281392630428866124 0",
        7: "7.3347098826795362023 -16.5672243527496524646 9.5724507555993664382 -0.1890893225010595467 "
        "0.5526637063753648783 0",
        8: "32.8801774352459155182 -89.9916014847245016028 87.8406057677205645007 -35.7075975946222072821 "
        "4.2186562625665153803 0",
        9: "-10.1588990526426760954 22.6237489648532849093 -17.4152107770762969005 6.2736448083240352160 "
        "-0.6627209125361597559 0",
        10: "-12.5401268098782561200 32.2362340167355370113 -28.5903289514790976966 10.3160881272450748458 "
        "-1.2636789001135462218 0",
        11: "29.5553001484516038033 -82.1020315488359848644 81.6630950584341412934 -34.7650769866611817349 "
        "5.4106037898590422230 0",
        12: "-41.7923486424390588923 116.2662185791119533462 -114.9375291377009418170 47.7457971078225540396 "
        "-7.0321379067945741781 0",
        13: "20.3006925822100825485 -53.9020777466385396792 50.2558364226176017553 -19.0082099341608028453 "
        "2.3537586759714983486 0",
    }
    weights = [Fraction(0)] * 14
    for stage, text in polynomials.items():
        for coefficient in _row(text):
            weights[stage] = weights[stage] / 2 + coefficient
        weights[stage] /= 2
    return tuple(weights)


_DOPRI8_B = (
    "14005451/335480064 0 0 0 0 -59238493/1068277825 181606767/758867731 561292985/797845732 "
    "-1041891430/1371343529 760417239/1151165299 118820643/751138087 -528747749/2220607170 1/4"
)

_DOPRI8 = _tableau(
    "dopri8",
    8,
    (
        "",
        "1/18",
        "1/48 1/16",
        "1/32 0 3/32",
        "5/16 0 -75/64 75/64",
        "3/80 0 0 3/16 3/20",
        "29443841/614563906 0 0 77736538/692538347 -28693883/1125000000 23124283/1800000000",
        "16016141/946692911 0 0 61564180/158732637 22789713/633445777 545815736/2771057229 "
        "-180193667/1043307555",
        "39632708/573591083 0 0 -433636366/683701615 -421739975/2616292301 100302831/723423059 "
        "790204164/839813087 800635310/3783071287",
        "246121993/1340847787 0 0 -37695042795/15268766246 -309121744/1061227803 -12992083/490766935 "
        "6005943493/2108947869 393006217/1396673457 123872331/1001029789",
        "-1028468189/846180014 0 0 8478235783/508512852 1311729495/1432422823 -10304129995/1701304382 "
        "-48777925059/3047939560 15336726248/1032824649 -45442868181/3398467696 3065993473/597172653",
        "185892177/718116043 0 0 -3185094517/667107341 -477755414/1098053517 -703635378/230739211 "
        "5731566787/1027545527 5232866602/850066563 -4093664535/808688257 3962137247/1805957418 "
        "65686358/487910083",
        "403863854/491063109 0 0 -5068492393/434740067 -411421997/543043805 652783627/914296604 "
        "11173962825/925320556 -13158990841/6184727034 3936647629/1978049680 -160528059/685178525 "
        "248638103/1413531060 0",
        _DOPRI8_B,
    ),
    _DOPRI8_B + " 0",
    "pair 8(7)13M: Prince and Dormand, J. Comp. Appl. Math. 7, 1981, with a fourteenth stage at the new "
    "solution",
    embedded="13451932/455176623 0 0 0 0 -808719846/976000145 1757004468/5645159321 656045339/265891186 "
    "-3867574721/1518517206 465885868/322736535 53011238/667516719 2/45 0 0",
    b_mid=_dopri8_mid(),
    c="0 1/18 1/12 1/8 5/16 3/8 59/400 93/200 5490023248/9719169821 13/20 1201146811/1299019798 1 1 1",
)

METHODS: dict[str, Tableau] = {
    tableau.name: tableau
    for tableau in (
        _DOPRI8,
        _DOPRI5,
        _TSIT5,
        _BOSH3,
        _FEHLBERG2,
        _ADAPTIVE_HEUN,
        _EULER,
        _MIDPOINT,
        _HEUN2,
        _HEUN3,
        _RK4,
    )
}
