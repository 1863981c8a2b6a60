"""What is measured of detections beside COCO's figures: each measure a module, on the record `JudgedImage`."""
