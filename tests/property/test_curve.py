import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from core.calibration import Curve

numbers = st.floats(-20, 20, allow_nan=False)


@settings(deadline=None)
@given(st.lists(numbers, min_size=1, max_size=20, unique=True), st.data())
def test_a_curve_equals_numpy_interp_to_the_bit(xs, data):
    xs = sorted(xs)
    ys = data.draw(st.lists(numbers, min_size=len(xs), max_size=len(xs)))
    curve = Curve(x=tuple(xs), y=tuple(ys))
    for value in (*xs, data.draw(numbers), -1e9, 1e9):
        assert curve(value) == float(np.interp(value, xs, ys))
