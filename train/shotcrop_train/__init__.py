"""The three training stages of ShotCrop and the compact model `shotcrop-nano`."""
