/** A module of convforge's, through the loader that it comes with. */
export async function prepare(file, x) {
    const { load } = await import("/classifier.js");
    const net = await load(await (await fetch(file)).arrayBuffer());
    return () => net.run(x);
}
