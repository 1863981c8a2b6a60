"""Labels and detections made into folders that VIA opens, to be corrected by hand."""
