"""Charts as SVG markup that takes its colours and fonts from the page round it."""
