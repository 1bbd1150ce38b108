"""Position and velocity of a satellite in the Earth-fixed frame, by the sgp4 library.

TEME is turned to ITRF by Greenwich mean sidereal time alone (skyfield's `theta_GMST1982`), as the
AIAA paper on SGP4 defines it. skyfield's general path multiplies by precession and nutation and
then by their inverse; leaving both out gives the same vector to rounding and is about 50 times
faster. Polar motion (up to 0.5", 10 m on the ground) is left out, as skyfield does by default.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from sgp4.api import SGP4_ERRORS
from skyfield.sgp4lib import TEME_to_ITRF

from .elements import ElementSet
from .errors import PropagationError
from .timescale import FloatArray, IntArray, skyfield_time, utc_jd

_S_PER_DAY = 86_400.0


class Orbit:
    """One element set, ready to be asked for many times at once.

    Attributes:
        name: of the satellite as this project calls it.
        elements: the element set behind it.
    """

    def __init__(self, elements: ElementSet, name: str | None = None) -> None:
        self.elements = elements
        self.name = elements.name if name is None else name

    def itrf(self, t_ns: npt.ArrayLike) -> tuple[FloatArray, FloatArray]:
        """Propagate to UTC times.

        Args:
            t_ns: (N,) or scalar int64, ns since 1970 UTC.
        Returns:
            (N, 3) float64 r_itrf_m and (N, 3) float64 v_itrf_m_s, velocity as seen from the
            rotating Earth.
        Raises:
            PropagationError: SGP4 refuses a time (decayed, or elements outside the model).
        Source: AIAA 2006-6753, appendix C.
        """
        times_ns: IntArray = np.atleast_1d(np.asarray(t_ns, dtype=np.int64))
        codes, r_km, v_km_s = self.elements.satrec.sgp4_array(*utc_jd(times_ns))
        if codes.any():
            at = int(np.flatnonzero(codes)[0])
            reason = SGP4_ERRORS[int(codes[at])]
            raise PropagationError(self.name, int(times_ns[at]), reason)
        t = skyfield_time(times_ns)
        r, v = TEME_to_ITRF(t.whole, r_km.T, v_km_s.T * _S_PER_DAY, 0.0, 0.0, t.ut1_fraction)
        return r.T * 1e3, v.T * (1e3 / _S_PER_DAY)
