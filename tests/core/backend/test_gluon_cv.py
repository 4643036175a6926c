import subprocess
import sys

IMPORT = """
import io
import numpy as np
from PIL import Image, ImageFile
from gluon_mtcnn.core.backend.gluon_cv import gluoncv

assert not ImageFile.LOAD_TRUNCATED_IMAGES
file = io.BytesIO()
Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)).save(file, "JPEG")
try:
    Image.open(io.BytesIO(file.getvalue()[:1000])).load()
except OSError as error:
    print(error)
print(gluoncv.utils.viz.plot_bbox.__name__)
"""


def test_pillow_refuses_cut_files_after_gluoncv_is_imported():
    ran = subprocess.run([sys.executable, "-c", IMPORT], capture_output=True, text=True, check=True)
    assert "truncated" in ran.stdout
    assert ran.stdout.endswith("plot_bbox\n")
