"""What a street is like: how wide, how high, how rich in texture, and how much of it looks alike."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class SceneStyle:
    """The defaults are the scene ``typical``, in which every house is unlike the next and full of texture.

    Attributes:
        half_width: of the carriageway in metres.
        pavement: metres from the kerb to the façades.
        house_width: mean, in metres.
        heights: of the eaves in metres, from and to.
        setback: factor on how far façades stand behind the line of the street.
        terrace: a row of 2 to this many neighbours has one plaster, one height and the same windows; 0 = no rows.
        designs: different designs of houses in the street, where there are rows.
        stone: blocks of stone between windows with shutters, in place of plain plaster, where there are rows.
        variety: share of the windows in rows that have a blind drawn down or shutters closed.
        contrast: of plaster and ground, as a share of the ones with structure at every scale.
        parked: chance of a parked car at each place along the kerb.
        trees: chance of a tree, a lamp or a sign at each place along the pavement.
        plants: bushes and climbing plants for each house, at the foot of its façade.
        traffic: whether cars drive.
        people: on the pavements, for each house.
        walkers: metres from the kerb where they walk, from and to.
        elevations: of the sun in degrees, from and to.
        clouds: how much of the sun's light clouds take away at times, 0 to 1.
        exposure: factor on the swing of the camera's automatic exposure.
        noise: factor on that of the camera's sensor.
    """

    half_width: float = 5.0
    pavement: float = 2.6
    house_width: float = 8.6
    heights: tuple[float, float] = (7.0, 14.5)
    setback: float = 1.0
    terrace: int = 0
    designs: int = 0
    stone: bool = False
    variety: float = 0.0
    contrast: float = 1.0
    parked: float = 0.5
    trees: float = 1.0
    plants: float = 0.0
    traffic: bool = True
    people: float = 0.9
    walkers: tuple[float, float] = (1.1, 2.2)
    elevations: tuple[float, float] = (42.0, 60.0)
    clouds: float = 0.0
    exposure: float = 1.0
    noise: float = 1.0


TYPICAL = SceneStyle()
HARD_ON_FOOT = SceneStyle(
    half_width=3.0,
    pavement=1.0,
    house_width=12.4,
    heights=(3.4, 5.2),
    setback=0.2,
    terrace=4,
    designs=3,
    contrast=0.12,
    parked=0.15,
    trees=0.25,
    plants=2.0,
    traffic=False,
    people=0.2,
    walkers=(0.2, 0.7),
    elevations=(30.0, 50.0),
    clouds=0.8,
    exposure=2.5,
    noise=2.0,
)
"""A lane of low plastered houses, as a person with a telephone sees it."""
HARD_DRIVEN = SceneStyle(
    half_width=3.2,
    pavement=1.6,
    house_width=12.4,
    heights=(10.0, 17.0),
    setback=0.2,
    terrace=3,
    designs=5,
    stone=True,
    variety=0.5,
    contrast=1.0,
    parked=0.3,
    trees=0.3,
    plants=0.0,
    traffic=False,
    people=0.2,
    walkers=(0.2, 0.7),
    elevations=(40.0, 60.0),
    clouds=0.8,
    exposure=1.5,
)
"""A narrow street of tall rows of houses, as a survey vehicle sees it."""
