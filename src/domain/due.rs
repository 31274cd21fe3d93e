//! What follows from the state.
