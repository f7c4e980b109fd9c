"""The network in plain torch: points and neighbourhoods in, masks over superpoints out; what it is trained with."""
