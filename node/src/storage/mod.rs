//! What is durable on a node.
