"""Score model folders on the held-out splits: cells, metrics, intervals, controls, report.

It answers through the same ONNX runtime as flight and ground; torch is not needed.
"""
