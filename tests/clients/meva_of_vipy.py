"""What vipy's reader of MEVA makes of a folder: each video's tracks and activities, as JSON."""

import json
import sys

import vipy.data.meva

videos = vipy.data.meva.KF1(sys.argv[1], verbose=False)
print(json.dumps({v.filename(): [len(v.tracks()), len(v.activities())] for v in videos}))
