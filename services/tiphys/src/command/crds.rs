//! `tiphys crds`: the definitions of the kinds, for `kubectl apply -f -`.

use tiphys_catalog::kubernetes::crd;

use crate::exit::{Code, Failure};

/// Prints all, or the one of this plural.
pub(super) fn run(plural: Option<&str>) -> Result<(), Failure> {
    let all = crd::all();
    let wanted: Vec<_> = all.iter().filter(|(name, _)| plural.is_none_or(|wanted| wanted == *name)).collect();
    if wanted.is_empty() {
        let names: Vec<&str> = all.iter().map(|(name, _)| *name).collect();
        return Err(Failure::new(Code::NotFound, format!("there are definitions of {}", names.join(", "))));
    }
    for (number, (_, definition)) in wanted.into_iter().enumerate() {
        if number > 0 {
            println!("---");
        }
        print!("{}", text(definition)?);
    }
    Ok(())
}

/// A definition as YAML.
fn text(definition: &serde_json::Value) -> Result<String, Failure> {
    let text = serde_saphyr::to_string(definition);
    let text = text.map_err(|error| Failure::new(Code::Failed, error.to_string()))?;
    Ok(format!("{}\n", text.trim_end()))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn the_files_of_deploy_are_what_is_printed() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/crds");
        for (plural, definition) in crd::all() {
            let file = folder.join(format!("{plural}.yaml"));
            let printed = text(&definition).unwrap();
            assert_eq!(
                std::fs::read_to_string(&file).unwrap_or_default(),
                printed,
                "{} is not what `tiphys crds {plural}` prints",
                file.display()
            );
        }
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), crd::all().len());
    }
}
