//! Which layers share block tables.
//!
//! Layers that see the same context keep their keys and values in the same blocks. All groups have
//! the same number of layers, so a block has one size and any free block of the pool serves any
//! group. A model whose layers all see everything is one group, and layer `i` is its layer `i`.

use super::KvGroup;
use super::spec::DecoderSpec;

/// The groups of a decoder, and where each layer stands in them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct KvGroups {
    /// `[num_groups]`, in the order of their first layers.
    pub(super) groups: Vec<KvGroup>,
    /// Layers that a block has room for. A group may have fewer: the rest of its blocks is unused.
    pub(super) layers_per_group: usize,
    /// `[num_layers]`
    pub(super) places: Vec<KvPlace>,
}

/// Where a layer keeps its keys and values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct KvPlace {
    /// Index of the group.
    pub(super) group: usize,
    /// Index of the layer in the group.
    pub(super) layer: usize,
}

/// The layers of one kind so far.
struct Kind {
    group: KvGroup,
    num_layers: usize,
    /// The group that is being filled.
    current: usize,
}

/// Groups the layers of `spec` by their windows. The rarest kind of layer sets the size of a group;
/// a kind with more layers makes several.
pub(super) fn kv_groups(spec: &DecoderSpec) -> KvGroups {
    let mut kinds: Vec<Kind> = Vec::new();
    for group in spec.layers.iter().map(|layer| KvGroup { window: layer.window }) {
        match kinds.iter_mut().find(|kind| kind.group == group) {
            Some(kind) => kind.num_layers += 1,
            None => kinds.push(Kind { group, num_layers: 1, current: 0 }),
        }
    }
    let layers_per_group = kinds.iter().map(|kind| kind.num_layers).min().unwrap_or(0);
    let mut groups = Vec::new();
    for kind in &mut kinds {
        kind.num_layers = 0;
    }
    let places = spec.layers.iter().map(|layer| {
        let kind = kinds.iter_mut().find(|kind| kind.group.window == layer.window);
        let kind = kind.expect("the kinds are those of the layers");
        let index = kind.num_layers % layers_per_group;
        if index == 0 {
            kind.current = groups.len();
            groups.push(kind.group);
        }
        kind.num_layers += 1;
        KvPlace { group: kind.current, layer: index }
    });
    let places = places.collect();
    KvGroups { groups, layers_per_group, places }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::spec::{HeadShape, LayerSpec, NormPlacement};

    fn groups_of(windows: Vec<Option<u32>>) -> KvGroups {
        let layers: Vec<_> = windows.into_iter().map(|window| LayerSpec { rope: None, window }).collect();
        let num_layers = layers.len();
        let groups = kv_groups(&DecoderSpec {
            vocab_size: 1,
            hidden_size: 2,
            intermediate_size: 1,
            heads: HeadShape { num_heads: 1, num_kv_heads: 1, head_dim: 2 },
            qk_norm: false,
            norm_placement: NormPlacement::BeforeBranch,
            norm_eps: 1e-5,
            ropes: vec![],
            layers: layers.clone(),
            tied_output: true,
            max_positions: 1,
        });
        // Every layer has a place of its own, in a group that sees what it sees.
        let mut taken = std::collections::HashSet::new();
        for (place, layer) in groups.places.iter().zip(layers) {
            assert!(place.layer < groups.layers_per_group && taken.insert((place.group, place.layer)));
            assert_eq!(groups.groups[place.group].window, layer.window);
        }
        assert_eq!(groups.places.len(), num_layers);
        groups
    }

    /// `num_layers` layers, every `period`-th of which sees everything.
    fn hybrid(num_layers: usize, period: usize) -> Vec<Option<u32>> {
        (1..=num_layers).map(|layer| (!layer.is_multiple_of(period)).then_some(512)).collect()
    }

    fn windows(groups: &KvGroups) -> Vec<Option<u32>> {
        groups.groups.iter().map(|group| group.window).collect()
    }

    #[test]
    fn layers_that_see_the_same_are_one_group() {
        for window in [None, Some(128)] {
            let groups = groups_of(vec![window; 32]);
            assert_eq!((windows(&groups), groups.layers_per_group), (vec![window], 32));
            let places: Vec<_> = (0..32).map(|layer| KvPlace { group: 0, layer }).collect();
            assert_eq!(groups.places, places);
        }
    }

    #[test]
    fn three_window_layers_to_one_are_three_groups_to_one() {
        for (num_layers, per_group) in [(64, 16), (48, 12), (4, 1)] {
            let groups = groups_of(hybrid(num_layers, 4));
            assert_eq!(groups.layers_per_group, per_group);
            assert_eq!(windows(&groups).iter().filter(|window| window.is_some()).count(), 3);
            assert_eq!(groups.groups.len(), 4);
        }
    }

    #[test]
    fn the_last_group_may_have_fewer_layers() {
        // 52 window layers and 10 others.
        let groups = groups_of(hybrid(62, 6));
        assert_eq!((groups.layers_per_group, groups.groups.len()), (10, 7));
        let in_group = |group| groups.places.iter().filter(|place| place.group == group).count();
        let mut counts: Vec<_> = (0..7).map(in_group).collect();
        counts.sort_unstable();
        assert_eq!(counts, [2, 10, 10, 10, 10, 10, 10]);
    }

    #[test]
    fn different_windows_are_different_groups() {
        let groups = groups_of(vec![Some(8), Some(16), Some(8), Some(16), Some(16)]);
        assert_eq!(groups.layers_per_group, 2);
        assert_eq!(windows(&groups), [Some(8), Some(16), Some(16)]);
    }
}
