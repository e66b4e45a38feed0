"""Percentages as RealUnify prints them: one decimal, halves up, from whole numbers."""

from __future__ import annotations

from fractions import Fraction


def printed(value: Fraction | int) -> str:
    """A percentage with one decimal, a half rounded up: 39.25 reads `39.3`. Floats would round some halves down."""
    tenths = (Fraction(value) * 20 + 1) // 2
    return f"{'-' if tenths < 0 else ''}{abs(tenths) // 10}.{abs(tenths) % 10}"


def percent(right: int, asked: int) -> Fraction:
    """So many of so many, in percent, exactly."""
    return Fraction(100 * right, asked)
