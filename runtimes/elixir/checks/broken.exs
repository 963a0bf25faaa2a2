if do )
