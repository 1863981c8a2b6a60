"""What an image and an instance are: records, tables, reasons for leaving one out, splits, videos."""
