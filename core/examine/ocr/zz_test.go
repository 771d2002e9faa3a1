package ocr
import ("testing";"strings";"math/rand/v2";stdimage "image";"image/color";"vaguemestre/core/examine/image";"fmt"
"golang.org/x/image/font";"golang.org/x/image/font/gofont/goregular";"golang.org/x/image/font/gofont/gomono";"golang.org/x/image/font/gofont/gobold";"golang.org/x/image/font/opentype";"golang.org/x/image/math/fixed";"time";"os")
func page(t *testing.T, ttf []byte, dpi int, size float64, seed uint64)(*stdimage.Gray,[]string){
 p,_:=opentype.Parse(ttf); face,_:=opentype.NewFace(p,&opentype.FaceOptions{Size:size,DPI:float64(dpi)})
 g:=stdimage.NewGray(stdimage.Rect(0,0,dpi*827/100,dpi*1169/100)); for i:=range g.Pix{g.Pix[i]=255}
 r:=rand.New(rand.NewPCG(seed,1)); d:=font.Drawer{Dst:g,Src:stdimage.NewUniform(color.Gray{20}),Face:face}
 var toks []string
 y:=float64(dpi)
 for y<float64(dpi)*10.8{
  var line []string
  for k:=0;k<5;k++{
   var w string
   switch r.IntN(4){
   case 0: w=fmt.Sprintf("%02d/%02d/%04d",1+r.IntN(28),1+r.IntN(12),1950+r.IntN(80))
   case 1: w=fmt.Sprintf("%d",10000+r.IntN(89999))
   case 2: ws:=strings.Fields("Hélène Lefèvre domicile adresse République Montpellier attestation assurance quittance loyer impôt revenus naissance délivrée préfecture Bénédicte"); w=ws[r.IntN(len(ws))]
   default: ws:=strings.Fields("MARTIN DUBOIS GÉRARD AVIS CERTIFICAT Facture Numéro Période Échéance Janvier février août"); w=ws[r.IntN(len(ws))]
   }
   line=append(line,w)
  }
  d.Dot=fixed.P(dpi*7/10,int(y)); d.DrawString(strings.Join(line,"  ")); toks=append(toks,line...)
  y+=size*2.2*float64(dpi)/72
 }
 return g,toks
}
func shot(paper *stdimage.Gray, seed uint64, fill float64, blur int, noise float64, shadow bool)*stdimage.Gray{
 // paper at fill share on 3024x4032 table
 r:=rand.New(rand.NewPCG(seed,2)); W,H:=3024,4032
 out:=stdimage.NewGray(stdimage.Rect(0,0,W,H)); pw,ph:=paper.Rect.Dx(),paper.Rect.Dy(); l,tp:=(W-pw)/2,(H-ph)/2
 f:=make([]float64,W*H)
 for y:=0;y<H;y++{for x:=0;x<W;x++{ v:=60.0; if x>=l&&y>=tp&&x-l<pw&&y-tp<ph{v=30+0.8*float64(paper.Pix[(y-tp)*paper.Stride+x-l])}
  li:=1-0.5*float64(x)/float64(W)-0.2*float64(y)/float64(H); if shadow&&x+y/2>2900{li*=0.6}; f[y*W+x]=v*li}}
 if blur>0{ tmp:=make([]float64,W*H); for pass:=0;pass<2;pass++{ for y:=0;y<H;y++{for x:=blur;x<W-blur;x++{s:=0.0;for k:=-blur;k<=blur;k++{s+=f[y*W+x+k]};tmp[y*W+x]=s/float64(2*blur+1)}}
   for y:=blur;y<H-blur;y++{for x:=0;x<W;x++{s:=0.0;for k:=-blur;k<=blur;k++{s+=tmp[(y+k)*W+x]};f[y*W+x]=s/float64(2*blur+1)}}}}
 for i,v:=range f{out.Pix[i]=byte(min(max(v+r.NormFloat64()*noise,0),255))}
 return out
}
func lut(src *stdimage.Gray,lo,hi int)*stdimage.Gray{ d:=stdimage.NewGray(src.Rect); for i,v:=range src.Pix{d.Pix[i]=byte(min(max((int(v)-lo)*255/(hi-lo),0),255))}; return d}
func TestZZ(t *testing.T){
 type smp struct{name string; g *stdimage.Gray; toks []string; dpi int}
 var S []smp
 for i,ttf:=range [][]byte{goregular.TTF,gomono.TTF,gobold.TTF}{
  for j,sz:=range []float64{9,11}{
   g,tk:=page(t,ttf,300,sz,uint64(10*i+j)); S=append(S,smp{fmt.Sprintf("scan300-%d-%v",i,sz),g,tk,300})
   if os.Getenv("PH")!=""{ g2,tk2:=page(t,ttf,270,sz,uint64(100+10*i+j)); S=append(S,smp{fmt.Sprintf("photo-%d-%v",i,sz),shot(g2,1,0,1+j,6+6*float64(j),true),tk2,0}) }
  }
 }
 for _,lg:=range []int{1754,2048,2340,2600}{
  for _,mode:=range []string{"plain","flat0","flat","flathi"}{
   miss,tot:=map[string]int{},0; var dur time.Duration; mt:=0
   for _,s:=range S{
    g:=image.Shrink(s.g,lg); dpi:=int(float64(max(g.Rect.Dx(),g.Rect.Dy()))/a4)
    switch mode{ case "flat": g=flatten(g); case "flat0": g=flattenLUT(g,0,235); case "flathi": g=flattenLUT(g,32,200)}
    st:=time.Now(); r:=parse(rawTSV(t,g,dpi)); dur+=time.Since(st)
    have:=map[string]int{}; for _,w:=range strings.Fields(r.text){have[w]++}
    for _,w:=range s.toks{tot++; if have[w]>0{have[w]--}else{miss[s.name[:4]]++;mt++}}
   }
   fmt.Println(lg,mode,"missed",mt,"of",tot,miss,dur/time.Duration(len(S)))
  }
 }
}
func flattenLUT(g *stdimage.Gray,lo,hi int)*stdimage.Gray{ clipLo,clipHi=lo,hi; defer func(){clipLo,clipHi=64,215}(); return flatten(g)}
