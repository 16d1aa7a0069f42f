"""V-IRL data as it was published: a folder of routes, a mapping and panoramas.

    FOLDER/route_infos.json         routes                               (route_infos.py)
    FOLDER/gps_pano_mapping.pkl     {(latitude, longitude): panorama}    (relocation.py)
    FOLDER/street_views/ID.jpg, ID.metadata.json                         (panoramas.py)

`PublishedData` checks everything it can cheaply check when it is made. Whatever is wrong is named with
its file and field; with `strict=False` the routes concerned are skipped and counted instead.
"""

from envs.virl.published.data import DataError, PublishedData

__all__ = ["DataError", "PublishedData"]
