"""nn.Modules and nothing else: no data, no loss, no file access. Pictures are NCHW RGB. The face networks
work in [-1, 1] as their papers do; `UnitRange` wraps one for export, where every model takes and gives [0,
1]."""
