"""The table of traced orbits, transition.nc, from what mmfields paper fig3 --full --out DIR has stored.

    python data/make_transition.py DIR

Parts that are whole are read, also of a run that was interrupted, and join those that the table holds already.
"""

import sys
from pathlib import Path

import xarray as xr

from mmfields.io.storing import is_whole
from mmfields.paper import crossing

if __name__ == "__main__":
    stores = [path for path in sorted(Path(sys.argv[1]).glob("*.zarr")) if is_whole(path)]
    new = crossing.table({path.stem: xr.open_zarr(path).compute() for path in stores})
    whole = crossing.joined([new, crossing.traced()])
    whole.to_netcdf(Path(__file__).with_name("transition.nc"), engine="h5netcdf")
