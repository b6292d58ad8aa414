"""What is measured of a trained model, stage by stage, each of parts that survive a kill."""
