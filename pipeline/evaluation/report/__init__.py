"""The evaluation report: a page that holds everything it shows, to be opened, sent and printed."""
