"""A trained model as it leaves the house: plain torch layers, weights, a model card; ONNX where that is asked for."""
