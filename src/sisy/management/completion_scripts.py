"""The scripts that connect shells to ``manage.py sisy_completion words``."""

BASH = r"""
# Completion of Sisy's commands for bash. Store it, and load it in ~/.bashrc:
#   python manage.py sisy_completion bash > ~/.sisy.bash
#   source ~/.sisy.bash
_sisy_complete() {
    local i start=0 found current=${COMP_WORDS[COMP_CWORD]}
    COMPREPLY=()
    for ((i = 0; i < COMP_CWORD; i++)); do
        case ${COMP_WORDS[i]} in
            manage.py | */manage.py | django-admin) start=$((i + 1)); break ;;
        esac
    done
    ((start)) || return
    while IFS= read -r found; do
        # Behind an opening quote, nothing needs a backslash.
        [[ $current == [\'\"]* ]] || printf -v found %q "$found"
        COMPREPLY+=("$found")
    done < <("${COMP_WORDS[@]:0:start}" sisy_completion words -- \
        "${COMP_WORDS[@]:start:COMP_CWORD-start+1}" 2> /dev/null)
}
COMP_WORDBREAKS=${COMP_WORDBREAKS//@/}
complete -o default -o bashdefault -F _sisy_complete manage.py ./manage.py django-admin \
    python python3
"""

ZSH = r"""
# Completion of Sisy's commands for zsh. Store it, and load it in ~/.zshrc, below compinit:
#   python manage.py sisy_completion zsh > ~/.sisy.zsh
#   source ~/.sisy.zsh
_sisy_complete() {
    local start=${words[(i)(manage.py|*/manage.py|django-admin)]}
    if ((start >= CURRENT)); then
        _default
        return
    fi
    local -a found
    found=(${(f)"$("${(@)words[1,start]}" sisy_completion words -- \
        "${(@)words[start+1,CURRENT]}" 2> /dev/null)"})
    compadd -- $found || _default
}
compdef _sisy_complete manage.py django-admin python python3
"""

FISH = r"""
# Completion of Sisy's commands for fish, which loads it by itself from this folder:
#   python manage.py sisy_completion fish > ~/.config/fish/conf.d/sisy.fish
function __sisy_complete
    set -l words (commandline -opc)
    set -l current (commandline -ct)
    for i in (seq (count $words))
        if string match -qr '(^|/)(manage\.py|django-admin)$' -- $words[$i]
            set -l given $words
            set -e given[1..$i]
            $words[1..$i] sisy_completion words -- $given "$current" 2>/dev/null
            return
        end
    end
end
for program in manage.py django-admin python python3
    complete -c $program -a '(__sisy_complete)'
end
"""

SCRIPTS = {"bash": BASH.lstrip(), "zsh": ZSH.lstrip(), "fish": FISH.lstrip()}
"""The script of each shell."""
