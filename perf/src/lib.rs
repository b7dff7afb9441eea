//! Load generator, sample service and floor programs.
