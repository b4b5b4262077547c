"""The formulas, each with its source. docs/analytics.md says what they mean for a reader.

Intervals are always valid: they may be looked at every day, and the experiment may be stopped by what is
seen. They are asymptotic confidence sequences, which replace the 1.96 of a plain interval by a larger factor
that depends on the number of units and on the planned one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

ALPHA = 0.05
POWER = 0.8
MISMATCH = 0.001


@dataclass(frozen=True)
class Moments:
    """What is known of the units of one variant: how many, with how many of them anything was counted, and
    the sums of the outcome y, of the same behaviour before the exposure x, and of their products.
    """

    units: int
    counted: int
    y: float
    yy: float
    x: float = 0.0
    xx: float = 0.0
    xy: float = 0.0

    def mean(self) -> float:
        return self.y / self.units

    def aggregates(self) -> Any:
        """The same as tea-tasting takes it: sample means, variances and the covariance."""
        from tea_tasting.aggr import Aggregates

        n = self.units
        my, mx = self.y / n, self.x / n
        return Aggregates(
            count_=n,
            mean_={"y": my, "x": mx},
            var_={
                "y": max(self.yy - n * my * my, 0.0) / (n - 1),
                "x": max(self.xx - n * mx * mx, 0.0) / (n - 1),
            },
            cov_={("x", "y"): (self.xy - n * mx * my) / (n - 1)},
        )


@dataclass(frozen=True)
class Effect:
    """A treatment beside the control: the difference of the means, with its standard error, and the ends of
    its interval; the same relative to the control, None where that has no meaning. `reduction` is the share
    of the variance that CUPED took away, and None where there was nothing to adjust by.
    """

    control: float
    treatment: float
    difference: float
    error: float
    low: float
    high: float
    relative: float | None
    relative_low: float | None
    relative_high: float | None
    reduction: float | None


def mixture(planned: float, alpha: float) -> float:
    """rho squared, the parameter for which the interval is nearly the narrowest at `planned` units.

    rho^2 = (-2 ln a + ln(1 - 2 ln a)) / planned: Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas,
    Time-uniform central limit theory and asymptotic confidence sequences, arXiv:2103.06476, appendix on
    optimising the mixture; as GrowthBook's sequential tests use it.
    """
    log = -2 * math.log(alpha)
    return (log + math.log(log + 1)) / planned


def factor(units: Any, planned: float, alpha: float = ALPHA) -> Any:
    """By how many standard errors an interval extends to each side when `units` are there, of which
    `planned` were planned. A number, or an array of numpy.

    Of arXiv:2103.06476, equation 9, half the interval of a mean of n observations with deviation s:
    s sqrt(2 (n rho^2 + 1) / (n^2 rho^2) ln(sqrt(n rho^2 + 1) / a)), divided by its error s / sqrt(n).
    """
    import numpy

    t = units * mixture(planned, alpha)
    return numpy.sqrt(2 * (t + 1) / t * numpy.log(numpy.sqrt(t + 1) / alpha))


def factor_as_planned(alpha: float = ALPHA) -> float:
    """The factor once as many units are there as were planned: 3.04 for 5%. It needs no library."""
    t = mixture(1.0, alpha)
    return math.sqrt(2 * (t + 1) / t * math.log(math.sqrt(t + 1) / alpha))


def compare(control: Moments, treatment: Moments, planned: float, alpha: float = ALPHA) -> Effect | None:
    """A treatment beside the control, or None where there are too few units for a variance.

    tea-tasting gives the difference and its standard error without assuming equal variances, with CUPED
    (y - theta (x - mean x), theta = cov(x, y) / var(x) over all units: Deng, Xu, Kohavi and Walker, Improving
    the Sensitivity of Online Controlled Experiments by Utilizing Pre-Experiment Data, WSDM 2013), and the
    relative change by the delta method on the logarithm of the ratio. The factor of both is ours.
    """
    from scipy.stats import norm
    from tea_tasting.metrics import Mean

    if control.units < 2 or treatment.units < 2:
        return None
    left, right = control.aggregates(), treatment.aggregates()
    plain = Mean("y", use_t=False, equal_var=False).analyze_aggregates(left, right)
    found, reduction = plain, None
    if left.var("x") + right.var("x") > 0:
        adjusted = Mean("y", "x", use_t=False, equal_var=False).analyze_aggregates(left, right)
        if _width(adjusted) < _width(plain):
            found, reduction = adjusted, 1 - (_width(adjusted) / _width(plain)) ** 2
    quantile = float(norm.ppf(0.975))  # of tea-tasting's own confidence level, 95%
    wide = float(factor(control.units + treatment.units, planned, alpha))
    error = _width(found) / quantile
    relative = low = high = None
    if found.control > 0 and found.treatment > 0:
        relative = float(found.rel_effect_size)
        step = math.log((1 + found.rel_effect_size_ci_upper) / (1 + relative)) / quantile * wide
        if step < 700:
            low, high = (1 + relative) * math.exp(-step) - 1, (1 + relative) * math.exp(step) - 1
    return Effect(
        control=float(found.control),
        treatment=float(found.treatment),
        difference=float(found.effect_size),
        error=error,
        low=float(found.effect_size) - wide * error,
        high=float(found.effect_size) + wide * error,
        relative=relative,
        relative_low=low,
        relative_high=high,
        reduction=reduction,
    )


def _width(result: Any) -> float:
    """Half the width of a plain interval of tea-tasting."""
    return float(result.effect_size_ci_upper - result.effect_size)


def mismatch(units: Mapping[str, int], weights: Mapping[str, float]) -> float:
    """The p-value of the units by variant against the planned weights: Pearson's chi-square test.

    The limit 0.001 and what may be behind a mismatch: Fabijan and others, Diagnosing Sample Ratio Mismatch in
    Online Controlled Experiments, KDD 2019.
    """
    from scipy.stats import chisquare

    total, whole = sum(units.values()), sum(weights.values())
    expected = [total * weight / whole for weight in weights.values()]
    return float(chisquare([units[name] for name in weights], expected).pvalue)


def power(effect: float, error: float, units: float, planned: float, alpha: float = ALPHA) -> float:
    """The probability that an interval of `units` units with the standard error `error` excludes 0 when the
    true difference is `effect`; what earlier looks add to it is left out.
    """
    from scipy.stats import norm

    return float(norm.cdf(abs(effect) / error - factor(units, planned, alpha)))


def sample(deviation: float, effect: float, alpha: float = ALPHA, power: float = POWER) -> int:
    """How many units two variants of one weight need together for `power` to find a true difference `effect`
    of a figure with the standard deviation `deviation`, when that many are planned.

    4 s^2 (f + z)^2 / effect^2, with the factor f at the planned number, 3.04 for 5%, where a test that is
    looked at once has 1.96, and z the quantile of the power. It is 1.9 times as many as without looks.
    """
    from scipy.stats import norm

    wide = factor_as_planned(alpha) + float(norm.ppf(power))
    return math.ceil(4 * (deviation * wide / effect) ** 2)
