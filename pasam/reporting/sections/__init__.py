"""The sections of the page, one file each: results in, blocks out."""
