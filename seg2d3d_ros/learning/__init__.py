"""Maps → data sets → a network that labels clouds: learnt in three stages from masks alone, used tile by tile."""
