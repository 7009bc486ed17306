# LoveDA's test images, whose masks the server of the data set keeps: what to submit is written by
#   tools/test.py CONFIG CHECKPOINT --format-only --out FOLDER
_base_ = './unetmamba_rest-lite_loveda-512x512.py'

test_pipeline = [dict(type='LoadImageFromFile'), dict(type='PackSegInputs')]
test_dataloader = dict(
    dataset=dict(
        data_prefix=dict(_delete_=True, img_path='img_dir/test'),
        pipeline=test_pipeline,
    ),
)
tta_pipeline = test_pipeline
