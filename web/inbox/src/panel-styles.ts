/** The look of what is in the panel, loaded with it. */
export const panelStyles = (): string => `
.status { display: inline-flex; align-items: center; gap: .4rem; font-size: .8rem; color: var(--quiet); white-space: nowrap; }
header { display: flex; flex-wrap: wrap; align-items: center; gap: .3rem .5rem; padding-bottom: .4rem; }
h2 { font-size: 1rem; }
.count { padding: 0 .5rem; border-radius: 1rem; background: var(--bad); color: var(--on); font-size: .78rem; font-weight: 700; }
.end { margin-inline-start: auto; display: flex; }
.tabs { display: flex; gap: .25rem; padding-bottom: .5rem; }
.tab { border-color: transparent; background: none; color: var(--quiet); min-height: var(--target); min-width: var(--target); }
.tab[aria-pressed="true"] { color: var(--accent); border-color: var(--accent); font-weight: 600; }
.note { color: var(--quiet); font-size: .8rem; padding-bottom: .4rem; }
.note:empty { display: none; }
.standing { display: grid; justify-items: center; gap: .6rem; padding: 1.6rem .5rem; color: var(--quiet); text-align: center; }
.standing.above { grid-template-columns: 1fr auto; align-items: center; justify-items: start; padding: .4rem .6rem; margin-bottom: .5rem; border: 1px solid var(--warn); border-radius: .6rem; color: var(--ink); text-align: start; font-size: .85rem; }
ul { list-style: none; padding: 0; }
.scroll { overflow-y: auto; overflow-x: clip; overflow-anchor: none; flex: 0 1 auto; min-height: 0; }
:host([inline]) .scroll { flex: 1; }
.scroll ul { position: relative; }
.scroll li { position: absolute; inset-inline: 0; }
.alert.quiet { background: none; color: var(--quiet); border-inline-start-color: var(--line); }
.alert.inside { margin-inline-start: 1rem; }
.group button { margin-inline-start: 1rem; min-height: var(--target); color: var(--quiet); }
.group.critical button { border-color: var(--bad); } .group.warning button { border-color: var(--warn); }
.older { margin-top: .5rem; min-height: var(--target); }
.bar { display: flex; flex-wrap: wrap; gap: .4rem; align-items: center; justify-content: space-between; padding-top: .5rem; font-size: .85rem; }
.bar button, .standing button, .screen button { min-height: var(--target); }
.bar > span { flex: 1; min-width: 6rem; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
.bar .menu { flex-basis: 100%; }
@media (max-width: 30rem) {
  .status[data-status="live"] > :last-child { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
}
@media (max-width: 30rem) and (pointer: coarse) { [data-control="help"] { display: none; } }
`;
