"""All keyframes at once → sparse models, by GLOMAP and COLMAP's incremental mapper."""
