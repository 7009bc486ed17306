_base_ = [
    '../_base_/models/rsmamba-t_128px.py',
    '../_base_/datasets/folder_128px.py',
    '../_base_/schedules/rsmamba-t_adamw.py',
    '../_base_/default_runtime.py',
]

# num_classes of the head and of data_preprocessor depend on the folder: tools/demo.py sets them
model = dict(head=dict(num_classes={{_base_.data_preprocessor.num_classes}}))
