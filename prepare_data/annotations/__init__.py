"""Readers of annotation files: WIDER FACE, landmark lists, CSV, COCO, Pascal VOC, YOLO, Seanlinx's anno.txt."""
