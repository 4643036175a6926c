import numpy as np

from gluon_mtcnn.core.nets.weight_stats import describe_weights


def test_counts_by_hand():
    conv = np.zeros((4, 1, 2, 2), np.float32)
    conv[0] = 1  # norm 2
    conv[1, 0, 0, 0] = 0.0021
    conv[2, 0, 0, 0] = 0.0019  # less than a thousandth of 2
    dense = np.eye(3, dtype=np.float32)
    dense[0, 1], dense[0, 2] = 1e-40, -1e-45  # denormal
    report = describe_weights(
        {
            "stage1.conv.weight": conv,
            "stage1.conv.bias": np.array([np.nan, np.inf, 0, 1], np.float32),
            "stage1.prelu.alpha": np.array([-0.1, 0, 0.25, -0.0], np.float32),
            "arg:fc1_weight": dense,
            "arg:prelu2_gamma": np.array([-1], np.float32),
        }
    )
    assert (report["parameters"], report["denormals"], report["not_finite"]) == (16 + 4 + 4 + 9 + 1, 2, 2)
    assert report["layers"] == {
        "stage1.conv": {"kernels": 4, "dead_kernels": 2},
        "stage1.prelu": {"slopes": 4, "negative_slopes": 1},
        "fc1": {"kernels": 3, "dead_kernels": 0},
        "prelu2": {"slopes": 1, "negative_slopes": 1},
    }


def test_a_layer_of_zeros_is_dead_and_no_layer_is_none():
    assert describe_weights({"a.weight": np.zeros((2, 3), np.float32)})["layers"]["a"]["dead_kernels"] == 2
    assert describe_weights({}) == {"parameters": 0, "denormals": 0, "not_finite": 0, "layers": {}}
